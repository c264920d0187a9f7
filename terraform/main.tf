# One root for every way of loading: where the weights are and how the container loads them stands in `model`.

module "deployment" {
  source = "./modules/deployment"

  endpoint           = var.endpoint
  hugging_face_token = var.hugging_face_token
  model              = var.model
  role               = var.role
  tags               = var.tags
}
