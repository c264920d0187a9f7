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
}
