"""
Faults as users write them: functions that return Actions. Data only; providers are strings and drivers are not imported.
"""

from chaosfw.faults.toolkit import toolkit

__all__ = ["toolkit"]
