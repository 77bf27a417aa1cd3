"""The release store under the name by which it is imported until all imports say `log`."""

from pipeline.releases.log import ReleaseStore

__all__ = ["ReleaseStore"]
