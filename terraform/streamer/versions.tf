terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

# Address and credentials come from the AWS_* variables of the environment: nothing here knows the target.
provider "aws" {
  region = var.region

  # The default, 25, pauses for up to five minutes between two tries and says nothing; a throttled account would look
  # like a slow model. Six tries take about a minute; who calls Terraform tells the failure and removes what exists.
  max_retries = 6
}
