variable "execution_role_arn" {
  description = "Role of the endpoint."
  type        = string
}

variable "inference_ami_version" {
  description = "Machine image of the instances; null for SageMaker's default."
  type        = string
  default     = null
}

variable "instance_count" {
  description = "Number of instances."
  type        = number
}

variable "instance_type" {
  description = "Type of the instances."
  type        = string
}

variable "model_name" {
  description = "Name of the model to wait for; the configuration does not contain it."
  type        = string
}

variable "name" {
  description = "Name of the endpoint configuration."
  type        = string
}

variable "routing_strategy" {
  description = "Routing strategy; null for SageMaker's default."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the endpoint configuration."
  type        = map(string)
  nullable    = false
}

variable "variant_name" {
  description = "Name of the only variant."
  type        = string
}
