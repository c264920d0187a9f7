# Two kinds, one interface. The model-based one is three resources of the AWS provider. The one with an inference
# component needs a configuration without a model, which depends on the provider's version and is a module of its own,
# and the component: no version has that, so it goes through Cloud Control, which the same provider speaks.
#
# Every name is known before anything is made; depends_on gives the order, and the reverse order of removal:
# component, endpoint, configuration.

locals {
  _has_component = var.endpoint.kind == "inference_component"
  _variant       = "AllTraffic"
  _tags          = [for key, value in var.tags : { Key = key, Value = value }]

  # Not every region's schema has this member, and one that it does not have is refused.
  _caching = var.endpoint.enable_caching == null ? {} : { DataCacheConfig = { EnableCaching = var.endpoint.enable_caching } }

  _compute = {
    NumberOfAcceleratorDevicesRequired = var.endpoint.accelerators > 0 ? var.endpoint.accelerators : null
    MinMemoryRequiredInMb              = var.endpoint.min_memory_mib
  }
}

resource "aws_sagemaker_endpoint_configuration" "this" {
  #checkov:skip=CKV_AWS_98:SageMaker refuses a KMS key for instances with local NVMe such as ml.g5; their hardware encrypts it
  count = local._has_component ? 0 : 1
  name  = var.endpoint.configuration_name

  production_variants {
    variant_name                                      = local._variant
    model_name                                        = var.model_name
    instance_type                                     = var.endpoint.instance_type
    initial_instance_count                            = var.endpoint.instance_count
    container_startup_health_check_timeout_in_seconds = var.endpoint.health_check_timeout_s
    model_data_download_timeout_in_seconds            = var.endpoint.download_timeout_s
    inference_ami_version                             = var.endpoint.inference_ami_version

    dynamic "routing_config" {
      for_each = var.endpoint.routing_strategy[*]

      content {
        routing_strategy = routing_config.value
      }
    }
  }

  tags = var.tags
}

module "configuration" {
  source = "../component_configuration"
  count  = local._has_component ? 1 : 0

  execution_role_arn    = var.execution_role_arn
  inference_ami_version = var.endpoint.inference_ami_version
  instance_count        = var.endpoint.instance_count
  instance_type         = var.endpoint.instance_type
  model_name            = var.model_name
  name                  = var.endpoint.configuration_name
  routing_strategy      = var.endpoint.routing_strategy
  tags                  = var.tags
  variant_name          = local._variant
}

resource "aws_sagemaker_endpoint" "this" {
  name                 = var.endpoint.name
  endpoint_config_name = var.endpoint.configuration_name
  tags                 = var.tags

  depends_on = [aws_sagemaker_endpoint_configuration.this, module.configuration]
}

resource "aws_cloudcontrolapi_resource" "component" {
  count     = local._has_component ? 1 : 0
  type_name = "AWS::SageMaker::InferenceComponent"

  desired_state = jsonencode({
    InferenceComponentName = var.endpoint.inference_component_name
    EndpointName           = var.endpoint.name
    VariantName            = local._variant
    Specification = merge({
      ModelName                   = var.model_name
      ComputeResourceRequirements = { for key, value in local._compute : key => value if value != null }
      StartupParameters = {
        ContainerStartupHealthCheckTimeoutInSeconds = var.endpoint.health_check_timeout_s
        ModelDataDownloadTimeoutInSeconds           = var.endpoint.download_timeout_s
      }
    }, local._caching)
    RuntimeConfig = { CopyCount = var.endpoint.instance_count }
    Tags          = local._tags
  })

  depends_on = [aws_sagemaker_endpoint.this]
}
