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

variable "name" {
  description = "Name of the role."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.name))
    error_message = "A role name has 1 to 64 letters, digits or any of +=,.@_-"
  }
}

variable "readable_s3_uris" {
  description = "Prefixes that the role may list and read, as s3://bucket/prefix/."
  type        = list(string)

  validation {
    condition     = alltrue([for uri in var.readable_s3_uris : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?]*)?$", uri))])
    error_message = "Each entry reads s3://bucket/prefix/ and holds no wildcard."
  }
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
}
