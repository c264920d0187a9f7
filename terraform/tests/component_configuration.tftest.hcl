mock_provider "aws" {}

variables {
  execution_role_arn = "arn:aws:iam::123456789012:role/bench"
  instance_count     = 2
  instance_type      = "ml.g5.12xlarge"
  model_name         = "bench-model"
  name               = "bench"
  tags               = { "loadbench:project" = "bench" }
  variant_name       = "AllTraffic"
}

run "has_a_role_and_no_model" {
  command = plan

  module {
    source = "./modules/component_configuration"
  }

  assert {
    condition = jsondecode(aws_cloudcontrolapi_resource.this.desired_state) == {
      EndpointConfigName = "bench"
      ExecutionRoleArn   = "arn:aws:iam::123456789012:role/bench"
      ProductionVariants = [{ VariantName = "AllTraffic", InstanceType = "ml.g5.12xlarge", InitialInstanceCount = 2 }]
      Tags               = [{ Key = "loadbench:project", Value = "bench" }]
    }
    error_message = "Role and no model: ${aws_cloudcontrolapi_resource.this.desired_state}"
  }

  assert {
    condition     = output.name == "bench"
    error_message = "The name is known once it exists."
  }
}

run "requests_machine_image_and_routing_strategy" {
  command = plan

  variables {
    inference_ami_version = "al2-ami-sagemaker-inference-gpu-3-1"
    routing_strategy      = "RANDOM"
  }

  module {
    source = "./modules/component_configuration"
  }

  assert {
    condition     = jsondecode(aws_cloudcontrolapi_resource.this.desired_state).ProductionVariants[0].InferenceAmiVersion == "al2-ami-sagemaker-inference-gpu-3-1"
    error_message = "A CUDA 12.9 image needs its driver: ${aws_cloudcontrolapi_resource.this.desired_state}"
  }

  assert {
    condition     = jsondecode(aws_cloudcontrolapi_resource.this.desired_state).ProductionVariants[0].RoutingConfig.RoutingStrategy == "RANDOM"
    error_message = "The variant must name the strategy: ${aws_cloudcontrolapi_resource.this.desired_state}"
  }
}

run "needs_a_model_to_wait_for" {
  command = plan

  variables {
    model_name = ""
  }

  module {
    source = "./modules/component_configuration"
  }

  expect_failures = [aws_cloudcontrolapi_resource.this]
}
