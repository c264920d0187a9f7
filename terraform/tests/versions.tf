# Only a home for the tests beside it, so that one `terraform test` loads the provider once for all of them.
terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
