"""Tasks: functions whose work is recorded, so that it survives the process."""
