from cbm.ui.frame.formats import counted, percent, plain, points

__all__ = ["counted", "percent", "plain", "points"]
