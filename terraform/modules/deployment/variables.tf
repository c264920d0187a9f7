variable "accelerators" {
  description = "Accelerators of one copy of an inference component; 0 on instances without any."
  type        = number
}

variable "download_timeout_s" {
  description = "Seconds that the platform may take to download the model, 60 to 3600."
  type        = number
}

variable "endpoint_configuration_name" {
  description = "Name of the endpoint configuration."
  type        = string
}

variable "endpoint_kind" {
  description = "model_based or inference_component."
  type        = string
}

variable "endpoint_name" {
  description = "Name of the endpoint."
  type        = string
}

variable "environment" {
  description = "Environment of the container; values arrive there as they are."
  type        = map(string)
}

variable "health_check_timeout_s" {
  description = "Seconds that the container may take until /ping answers, 60 to 3600."
  type        = number
}

variable "hugging_face_token" {
  description = "Token for gated models. Set TF_VAR_hugging_face_token; it belongs in no file."
  type        = string
  default     = null
  sensitive   = true
}

variable "image" {
  description = "Container image."
  type        = string
}

variable "inference_ami_version" {
  description = "Machine image that SageMaker starts the instances with; null for its default."
  type        = string
}

variable "inference_component_name" {
  description = "Name of the inference component; null for a model-based endpoint."
  type        = string
}

variable "instance_count" {
  description = "Instances, and copies of an inference component."
  type        = number
}

variable "instance_type" {
  description = "Instance type, for example ml.g5.2xlarge."
  type        = string
}

variable "min_memory_mib" {
  description = "Host memory that one copy of an inference component needs."
  type        = number
}

variable "model_data_uri" {
  description = "Prefix of the uncompressed model, as s3://bucket/prefix/; null when the container pulls the weights."
  type        = string
  default     = null
}

variable "model_name" {
  description = "Name of the model."
  type        = string
}

variable "optimization_job_name" {
  description = "Job that made the shards, for the model's tag; null when not known."
  type        = string
  default     = null
}

variable "readable_s3_uris" {
  description = "Prefixes that a role made here may list and read, as s3://bucket/prefix/."
  type        = list(string)
}

variable "role_arn" {
  description = "Existing execution role; null to make one with least privilege."
  type        = string
}

variable "role_name" {
  description = "Name of the role to make; null when role_arn is given."
  type        = string
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
}

variable "use_hugging_face_token" {
  description = "Put the token into the container's environment."
  type        = bool
}
