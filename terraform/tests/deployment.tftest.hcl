mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-west-2" }
  }
}

variables {
  endpoint = {
    accelerators           = 1
    configuration_name     = "bench"
    download_timeout_s     = 600
    health_check_timeout_s = 600
    instance_type          = "ml.g5.2xlarge"
    kind                   = "model_based"
    name                   = "bench"
  }
  model = {
    data_uri    = "s3://models/digest/"
    environment = { OPTION_DTYPE = "bf16" }
    image       = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
    name        = "bench"
  }
  role = {
    name             = "bench"
    readable_s3_uris = ["s3://models/digest/"]
  }
  tags = { "loadbench:project" = "bench" }
}

run "makes_a_role_when_none_is_given" {
  command = plan

  module {
    source = "./modules/deployment"
  }

  assert {
    condition     = length(module.execution_role) == 1 && output.role_arn == "arn:aws:iam::123456789012:role/bench"
    error_message = "The role is made here."
  }
}

run "makes_no_role_beside_the_given_one" {
  command = plan

  variables {
    role = { arn = "arn:aws:iam::123456789012:role/mine" }
  }

  module {
    source = "./modules/deployment"
  }

  assert {
    condition     = length(module.execution_role) == 0 && output.role_arn == "arn:aws:iam::123456789012:role/mine"
    error_message = "The given role is the only one."
  }
}
