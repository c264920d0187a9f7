# `endpoint`, `model` and `role` are declared in variables-*.tf: links to the module that uses each.

variable "hugging_face_token" {
  description = "Token for gated models; null without one."
  type        = string
  default     = null
  sensitive   = true
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  nullable    = false
}
