# `endpoint`, `model` and `role` are declared in variables-*.tf: links to the module that uses each, so that an
# attribute is added in one place. `region` is in provider.tf.

variable "hugging_face_token" {
  description = "Token for gated models. Set TF_VAR_hugging_face_token; it belongs in no file."
  type        = string
  default     = null
  sensitive   = true
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  nullable    = false
}
