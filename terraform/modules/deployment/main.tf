# What every way of loading deploys: a role unless one is given, a model, an endpoint. The roots say where the weights are.

module "execution_role" {
  source = "../execution_role"
  count  = var.role_arn == null ? 1 : 0

  name                     = var.role_name
  endpoint_name            = var.endpoint_name
  inference_component_name = var.inference_component_name
  image                    = var.image
  readable_s3_uris         = var.readable_s3_uris
  tags                     = var.tags
}

module "model" {
  source = "../model"

  name                   = var.model_name
  execution_role_arn     = local._role_arn
  image                  = var.image
  environment            = var.environment
  use_hugging_face_token = var.use_hugging_face_token
  hugging_face_token     = var.hugging_face_token
  model_data_uri         = var.model_data_uri

  # The SageMaker SDK tags a model with the job that made its shards; the console shows it.
  tags = merge(var.tags, var.optimization_job_name == null ? {} : { OptimizationJobName = var.optimization_job_name })
}

module "endpoint" {
  source = "../endpoint"

  name                     = var.endpoint_name
  configuration_name       = var.endpoint_configuration_name
  inference_component_name = var.inference_component_name
  kind                     = var.endpoint_kind
  inference_ami_version    = var.inference_ami_version
  model_name               = module.model.name
  execution_role_arn       = local._role_arn
  instance_type            = var.instance_type
  instance_count           = var.instance_count
  accelerators             = var.accelerators
  min_memory_mib           = var.min_memory_mib
  health_check_timeout_s   = var.health_check_timeout_s
  download_timeout_s       = var.download_timeout_s
  tags                     = var.tags
}

locals {
  _role_arn = var.role_arn == null ? module.execution_role[0].arn : var.role_arn
}
