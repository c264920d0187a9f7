# The only declaration of this variable. modules/deployment and the root link to this file.

variable "role" {
  description = "Execution role of the endpoint: an existing one by its ARN, or the name of one to make."
  nullable    = false

  type = object({
    arn              = optional(string)           # existing role; null to make one with least privilege
    name             = optional(string)           # of the role to make
    readable_s3_uris = optional(list(string), []) # s3://bucket/prefix/ that the role to make may list and read
  })

  validation {
    condition     = var.role.arn != null || can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.role.name))
    error_message = "role.name has 1 to 64 letters, digits or any of +=,.@_- unless role.arn is given."
  }

  validation {
    condition = alltrue([
      for uri in var.role.readable_s3_uris : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?]*)?$", uri))
    ])
    error_message = "Each entry of role.readable_s3_uris reads s3://bucket/prefix/ and holds no wildcard."
  }
}
