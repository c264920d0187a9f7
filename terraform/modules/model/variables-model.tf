# The only declaration of this variable. modules/deployment and the root link to this file.

variable "model" {
  description = "Model: its container and where its weights are."
  nullable    = false

  type = object({
    data_uri               = optional(string) # s3://bucket/prefix/ of the uncompressed model; null: the container gets it
    environment            = map(string)      # of the container; values arrive there unchanged
    image                  = string
    name                   = string
    optimization_job_name  = optional(string) # job that wrote data_uri, for the model's tag
    use_hugging_face_token = optional(bool, false)
  })

  validation {
    condition     = var.model.data_uri == null || can(regex("^s3://[^/]+/.*/$", var.model.data_uri))
    error_message = "model.data_uri reads s3://bucket/prefix/ and ends in a slash: SageMaker takes it literally."
  }

  validation {
    condition     = var.model.optimization_job_name == null || var.model.data_uri != null
    error_message = "model.data_uri: a model from an optimization job needs the job's output prefix."
  }
}
