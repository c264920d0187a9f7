# `role` is declared in variables-role.tf.

variable "endpoint_name" {
  description = "Endpoint whose log group the role may write."
  type        = string
}

variable "image" {
  description = "Container image; one of a private registry gets permission to pull just its repository."
  type        = string
}

variable "inference_component_name" {
  description = "Inference component whose log group the role may write; null without one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  nullable    = false
}
