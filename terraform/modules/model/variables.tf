variable "environment" {
  description = "Environment of the container; values arrive there as they are."
  type        = map(string)
}

variable "execution_role_arn" {
  description = "Role that the container acts as."
  type        = string
}

variable "hugging_face_token" {
  description = "Token for gated models."
  type        = string
  default     = null
  sensitive   = true
}

variable "image" {
  description = "Container image."
  type        = string
}

variable "model_data_uri" {
  description = "Prefix of the uncompressed model, as s3://bucket/prefix/; null when the container pulls the weights."
  type        = string
  default     = null

  validation {
    condition     = var.model_data_uri == null || can(regex("^s3://[^/]+/.*/$", var.model_data_uri))
    error_message = "A model prefix reads s3://bucket/prefix/ and ends in a slash: SageMaker takes it literally."
  }
}

variable "name" {
  description = "Name of the model."
  type        = string
}

variable "tags" {
  description = "Tags of the model."
  type        = map(string)
}

variable "use_hugging_face_token" {
  description = "Put the token into the container's environment."
  type        = bool
  default     = false
}
