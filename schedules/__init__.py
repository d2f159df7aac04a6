"""Time: opening hours, holidays, working time, promises and the clock that runs periodic jobs."""
