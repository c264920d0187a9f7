# `model` is declared in variables-model.tf.

variable "execution_role_arn" {
  description = "Role that the container acts as."
  type        = string
}

variable "hugging_face_token" {
  description = "Token for gated models; null without one."
  type        = string
  default     = null
  sensitive   = true
}

variable "tags" {
  description = "Tags of the model."
  type        = map(string)
  nullable    = false
}
