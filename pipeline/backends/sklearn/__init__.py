"""Models of scikit-learn, in skops and joblib files."""
