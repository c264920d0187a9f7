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
  region = "us-west-2"
  role = {
    name             = "bench"
    readable_s3_uris = ["s3://models/digest/"]
  }
  tags = { "loadbench:project" = "bench" }
}

run "deploys_a_model_from_s3_model_based" {
  command = apply

  assert {
    condition = (
      output.endpoint_name == "bench" && output.endpoint_configuration_name == "bench" && output.model_name == "bench" &&
      output.inference_component_name == null && output.role_arn == "arn:aws:iam::123456789012:role/bench"
    )
    error_message = "A role, a model and an endpoint, and no component."
  }
}

run "deploys_shards_as_an_inference_component" {
  command = apply

  variables {
    endpoint = merge(var.endpoint, { kind = "inference_component", inference_component_name = "component" })
    model    = merge(var.model, { optimization_job_name = "job" })
  }

  assert {
    condition     = output.inference_component_name == "component" && output.endpoint_name == "bench"
    error_message = "The component's name reaches the endpoint module."
  }
}

run "deploys_a_container_that_gets_its_model_itself" {
  command = apply

  variables {
    model = merge(var.model, { data_uri = null, environment = { HF_MODEL_ID = "s3://models/digest/" } })
  }

  assert {
    condition     = output.endpoint_name == "bench" && output.model_name == "bench"
    error_message = "No model data is needed."
  }
}
