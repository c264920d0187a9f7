# The standard way: the platform downloads the model, or the container pulls it, and loads it from disk.

module "deployment" {
  source = "../modules/deployment"

  model_data_uri = var.model_data_uri

  accelerators                = var.accelerators
  download_timeout_s          = var.download_timeout_s
  endpoint_configuration_name = var.endpoint_configuration_name
  endpoint_kind               = var.endpoint_kind
  endpoint_name               = var.endpoint_name
  environment                 = var.environment
  health_check_timeout_s      = var.health_check_timeout_s
  hugging_face_token          = var.hugging_face_token
  image                       = var.image
  inference_ami_version       = var.inference_ami_version
  inference_component_name    = var.inference_component_name
  instance_count              = var.instance_count
  instance_type               = var.instance_type
  min_memory_mib              = var.min_memory_mib
  model_name                  = var.model_name
  readable_s3_uris            = var.readable_s3_uris
  role_arn                    = var.role_arn
  role_name                   = var.role_name
  tags                        = var.tags
  use_hugging_face_token      = var.use_hugging_face_token
}
