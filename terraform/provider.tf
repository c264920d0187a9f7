# Removal runs on this file, versions.tf and the lock file alone (scripts/loadbench/run/terraform/working_copy.py), so that it
# depends on no other variable and no module. That is why the region stands here.
variable "region" {
  description = "Region to deploy to."
  type        = string
  nullable    = false
}

# Address and credentials come from the AWS_* variables of the environment: nothing here knows the target.
provider "aws" {
  region = var.region

  # The default, 25, pauses for up to five minutes between two tries without a message; a throttled account would look
  # like a slow model. Six tries take about a minute; loadbench then reports the failure and removes what exists.
  max_retries = 6
}
