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
  region                      = "us-west-2"
  endpoint_name               = "bench"
  endpoint_configuration_name = "bench"
  model_name                  = "bench"
  inference_component_name    = null
  endpoint_kind               = "model_based"
  inference_ami_version       = null
  role_arn                    = null
  role_name                   = "bench"
  readable_s3_uris            = ["s3://models/digest/"]
  model_data_uri              = "s3://models/digest/"
  optimized_model_uri         = "s3://models/optimized/key/"
  optimization_job_name       = "bench-job"
  image                       = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
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

run "standard_makes_a_role_when_none_is_given" {
  command = plan

  module {
    source = "../standard"
  }

  assert {
    condition     = output.role_arn == "arn:aws:iam::123456789012:role/bench"
    error_message = "The role is made here."
  }
}

run "standard_uses_the_given_role" {
  command = plan

  variables {
    role_arn  = "arn:aws:iam::123456789012:role/mine"
    role_name = null
  }

  module {
    source = "../standard"
  }

  assert {
    condition     = output.role_arn == "arn:aws:iam::123456789012:role/mine"
    error_message = "No role is made beside the given one."
  }
}

run "standard_takes_either_kind" {
  command = plan

  variables {
    endpoint_kind            = "inference_component"
    inference_component_name = "bench"
  }

  module {
    source = "../standard"
  }

  assert {
    condition     = output.inference_component_name == "bench"
    error_message = "Like for like needs a component on the standard path."
  }
}

run "fast_takes_either_kind" {
  command = apply

  module {
    source = "../fast"
  }

  assert {
    condition     = output.inference_component_name == null && output.endpoint_name == "bench" && output.model_name == "bench"
    error_message = "Like for like may ask for a model-based endpoint."
  }
}

run "streamer_gives_the_container_its_model_and_no_model_data" {
  command = apply

  variables {
    environment = { HF_MODEL_ID = "s3://models/digest/", OPTION_LOAD_FORMAT = "runai_streamer" }
  }

  module {
    source = "../streamer"
  }

  assert {
    condition     = output.endpoint_name == "bench" && output.role_arn == "arn:aws:iam::123456789012:role/bench"
    error_message = "A role, a model and an endpoint, as on the other paths."
  }
}
