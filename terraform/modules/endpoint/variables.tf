# `endpoint` is declared in variables-endpoint.tf.

variable "execution_role_arn" {
  description = "Role of an endpoint with inference components."
  type        = string
}

variable "model_name" {
  description = "Name of the model to serve, once it exists."
  type        = string
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  nullable    = false
}
