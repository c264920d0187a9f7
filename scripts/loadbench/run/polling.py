"""How often AWS is polled, and for how long."""

STATUS_INTERVAL_S = 0.4
LOG_INTERVAL_S = 1.0
# Log lines reach CloudWatch seconds after they were written.
LATE_LOG_LINES_TIMEOUT_S = 10.0
# A container's health check may take an hour; the ten minutes more are for the instance and the image.
STATE_CHANGE_TIMEOUT_S = 4200.0
# How often a long wait says that it is still waiting.
REMINDER_INTERVAL_S = 10.0
