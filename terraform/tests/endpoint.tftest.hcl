mock_provider "aws" {}

variables {
  endpoint = {
    accelerators             = 4
    configuration_name       = "bench"
    download_timeout_s       = 900
    health_check_timeout_s   = 600
    inference_component_name = "bench"
    instance_count           = 2
    instance_type            = "ml.g5.12xlarge"
    kind                     = "inference_component"
    min_memory_mib           = 2048
    name                     = "bench"
  }
  execution_role_arn = "arn:aws:iam::123456789012:role/bench"
  model_name         = "bench-model"
  tags               = { "loadbench:project" = "bench" }
}

run "model_based_is_three_plain_resources" {
  command = plan

  variables {
    endpoint = merge(var.endpoint, {
      kind                     = "model_based"
      inference_component_name = null
    })
  }

  module {
    source = "./modules/endpoint"
  }

  assert {
    condition     = length(module.configuration) + length(aws_cloudcontrolapi_resource.component) == 0
    error_message = "A model-based endpoint needs no Cloud Control."
  }

  assert {
    condition = alltrue([for variant in aws_sagemaker_endpoint_configuration.this[0].production_variants : alltrue([
      variant.model_name == "bench-model",
      variant.instance_type == "ml.g5.12xlarge",
      variant.initial_instance_count == 2,
      variant.container_startup_health_check_timeout_in_seconds == 600,
      variant.model_data_download_timeout_in_seconds == 900,
    ])])
    error_message = "The variant must carry model, instances and both timeouts."
  }

  assert {
    condition     = output.inference_component_name == null
    error_message = "There is no component to name."
  }
}

run "component_endpoint_has_a_configuration_without_a_model" {
  command = plan

  module {
    source = "./modules/endpoint"
  }

  assert {
    condition     = module.configuration[0].name == "bench"
    error_message = "Its configuration is a module of its own: component_configuration.tftest.hcl."
  }

  assert {
    condition = jsondecode(aws_cloudcontrolapi_resource.component[0].desired_state) == {
      InferenceComponentName = "bench"
      EndpointName           = "bench"
      VariantName            = "AllTraffic"
      Specification = {
        ModelName                   = "bench-model"
        ComputeResourceRequirements = { NumberOfAcceleratorDevicesRequired = 4, MinMemoryRequiredInMb = 2048 }
        StartupParameters           = { ContainerStartupHealthCheckTimeoutInSeconds = 600, ModelDataDownloadTimeoutInSeconds = 900 }
      }
      RuntimeConfig = { CopyCount = 2 }
      Tags          = [{ Key = "loadbench:project", Value = "bench" }]
    }
    error_message = "The component's whole desired state: ${aws_cloudcontrolapi_resource.component[0].desired_state}"
  }
}

run "switches_the_data_cache_off_only_where_it_is_asked_to" {
  command = plan

  variables {
    endpoint = merge(var.endpoint, { enable_caching = false })
  }

  module {
    source = "./modules/endpoint"
  }

  assert {
    condition     = jsondecode(aws_cloudcontrolapi_resource.component[0].desired_state).Specification.DataCacheConfig == { EnableCaching = false }
    error_message = "The component's specification must switch it off: ${aws_cloudcontrolapi_resource.component[0].desired_state}"
  }
}

run "asks_for_no_accelerator_where_there_is_none" {
  command = plan

  variables {
    endpoint = merge(var.endpoint, {
      instance_type = "ml.c7i.4xlarge"
      accelerators  = 0
    })
  }

  module {
    source = "./modules/endpoint"
  }

  assert {
    condition     = !strcontains(aws_cloudcontrolapi_resource.component[0].desired_state, "NumberOfAcceleratorDevicesRequired")
    error_message = "SageMaker refuses 0 accelerators; the member must be absent."
  }
}

run "a_model_based_endpoint_requests_its_machine_image" {
  command = plan

  variables {
    endpoint = merge(var.endpoint, {
      kind                     = "model_based"
      inference_component_name = null
      inference_ami_version    = "al2-ami-sagemaker-inference-gpu-3-1"
    })
  }

  module {
    source = "./modules/endpoint"
  }

  assert {
    condition     = aws_sagemaker_endpoint_configuration.this[0].production_variants[0].inference_ami_version == "al2-ami-sagemaker-inference-gpu-3-1"
    error_message = "A CUDA 12.9 image needs its driver."
  }
}

run "a_model_based_endpoint_requests_its_routing_strategy" {
  command = plan

  variables {
    endpoint = merge(var.endpoint, {
      kind                     = "model_based"
      inference_component_name = null
      routing_strategy         = "LEAST_OUTSTANDING_REQUESTS"
    })
  }

  module {
    source = "./modules/endpoint"
  }

  assert {
    condition     = aws_sagemaker_endpoint_configuration.this[0].production_variants[0].routing_config[0].routing_strategy == "LEAST_OUTSTANDING_REQUESTS"
    error_message = "The variant must name the strategy."
  }
}

run "an_unknown_routing_strategy_is_refused" {
  command = plan

  variables {
    endpoint = merge(var.endpoint, { routing_strategy = "ROUND_ROBIN" })
  }

  module {
    source = "./modules/endpoint"
  }

  expect_failures = [var.endpoint]
}
