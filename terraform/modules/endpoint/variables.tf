variable "accelerators" {
  description = "Accelerators of one copy of an inference component; 0 on instances without any."
  type        = number
  default     = 0

  validation {
    condition     = var.accelerators >= 0 && floor(var.accelerators) == var.accelerators
    error_message = "accelerators is a whole number, 0 or more."
  }
}

variable "configuration_name" {
  description = "Name of the endpoint configuration."
  type        = string
}

variable "download_timeout_s" {
  description = "Seconds that the platform may take to download the model."
  type        = number

  validation {
    condition     = var.download_timeout_s >= 60 && var.download_timeout_s <= 3600
    error_message = "SageMaker allows 60 to 3600 seconds for the download."
  }
}

variable "execution_role_arn" {
  description = "Role of an endpoint with inference components."
  type        = string
}

variable "health_check_timeout_s" {
  description = "Seconds that the container may take until /ping answers."
  type        = number

  validation {
    condition     = var.health_check_timeout_s >= 60 && var.health_check_timeout_s <= 3600
    error_message = "SageMaker allows 60 to 3600 seconds for the health check."
  }
}

variable "inference_ami_version" {
  description = "Machine image that SageMaker starts the instances with; null for its default. Images with a newer CUDA need one."
  type        = string
  default     = null

  validation {
    condition     = var.inference_ami_version == null || can(regex("^al2(023)?-ami-sagemaker-inference-", var.inference_ami_version))
    error_message = "A machine image reads, for example, al2-ami-sagemaker-inference-gpu-3-1."
  }
}

variable "inference_component_name" {
  description = "Name of the inference component; null for a model-based endpoint."
  type        = string
  default     = null

  validation {
    condition     = var.inference_component_name == null || can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", var.inference_component_name))
    error_message = "A name has 1 to 63 letters, digits and hyphens."
  }
}

variable "instance_count" {
  description = "Instances, and copies of an inference component."
  type        = number
  default     = 1

  validation {
    condition     = var.instance_count >= 1 && floor(var.instance_count) == var.instance_count
    error_message = "instance_count is a whole number, 1 or more."
  }
}

variable "instance_type" {
  description = "Instance type, for example ml.g5.2xlarge."
  type        = string

  validation {
    condition     = can(regex("^ml\\.[a-z0-9-]+\\.[a-z0-9]+$", var.instance_type))
    error_message = "A hosting instance type reads ml.family.size."
  }
}

variable "kind" {
  description = "model_based or inference_component."
  type        = string

  validation {
    condition     = contains(["model_based", "inference_component"], var.kind)
    error_message = "kind is model_based or inference_component."
  }
}

variable "min_memory_mib" {
  description = "Host memory that one copy of an inference component needs."
  type        = number
  default     = 1024

  validation {
    condition     = var.min_memory_mib >= 128
    error_message = "SageMaker wants at least 128 MiB for a copy."
  }
}

variable "model_name" {
  description = "Name of the model to serve."
  type        = string
}

variable "name" {
  description = "Name of the endpoint."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", var.name))
    error_message = "A name has 1 to 63 letters, digits and hyphens."
  }
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
}
