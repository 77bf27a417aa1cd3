"""The report of a run as one HTML page. Pure: from statistics and facts to text."""
