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
  endpoint_name               = "bench"
  endpoint_configuration_name = "bench"
  model_name                  = "bench"
  inference_component_name    = null
  endpoint_kind               = "model_based"
  inference_ami_version       = null
  role_arn                    = null
  role_name                   = "bench"
  readable_s3_uris            = ["s3://models/digest/"]
  image                       = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128"
  environment                 = { OPTION_DTYPE = "bf16" }
  use_hugging_face_token      = false
  instance_type               = "ml.g5.2xlarge"
  instance_count              = 1
  accelerators                = 1
  min_memory_mib              = 1024
  health_check_timeout_s      = 600
  download_timeout_s          = 600
  tags                        = { "loadbench:project" = "bench" }
}

run "makes_no_role_beside_the_given_one" {
  command = plan

  variables {
    role_arn  = "arn:aws:iam::123456789012:role/mine"
    role_name = null
  }

  module {
    source = "../modules/deployment"
  }

  assert {
    condition     = length(module.execution_role) == 0 && output.role_arn == "arn:aws:iam::123456789012:role/mine"
    error_message = "The given role is the only one."
  }
}
