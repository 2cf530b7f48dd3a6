"""Results of a sweep, in memory and on disk: `study` is what people hold, `store` the folder, `tables` the figures."""

from .study import Study, open_study

__all__ = ["Study", "open_study"]
