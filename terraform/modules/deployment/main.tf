# What every way of loading deploys: a role unless one is given, a model, an endpoint.

module "execution_role" {
  source = "../execution_role"
  count  = var.role.arn == null ? 1 : 0

  endpoint_name            = var.endpoint.name
  image                    = var.model.image
  inference_component_name = var.endpoint.inference_component_name
  role                     = var.role
  tags                     = var.tags
}

module "model" {
  source = "../model"

  execution_role_arn = local._role_arn
  hugging_face_token = var.hugging_face_token
  model              = var.model
  tags               = var.tags
}

module "endpoint" {
  source = "../endpoint"

  endpoint           = var.endpoint
  execution_role_arn = local._role_arn
  model_name         = module.model.name
  tags               = var.tags
}

locals {
  _role_arn = var.role.arn == null ? module.execution_role[0].arn : var.role.arn
}
