# The only declaration of this variable. modules/deployment and the root link to this file.

variable "endpoint" {
  description = "Endpoint, its configuration and, where its kind is inference_component, its inference component."
  nullable    = false

  type = object({
    accelerators             = optional(number, 0) # of one copy of an inference component; 0 on instances without any
    configuration_name       = string
    download_timeout_s       = number           # that the platform may take to download the model
    enable_caching           = optional(bool)   # SageMaker's data cache of an inference component; null: not requested
    health_check_timeout_s   = number           # that the container may take until /ping answers
    inference_ami_version    = optional(string) # machine image of the instances; null for SageMaker's default
    inference_component_name = optional(string) # null for a model-based endpoint
    instance_count           = optional(number, 1)
    instance_type            = string
    kind                     = string                 # model_based or inference_component
    min_memory_mib           = optional(number, 1024) # host memory reserved for one copy of an inference component
    name                     = string
    routing_strategy         = optional(string) # LEAST_OUTSTANDING_REQUESTS or RANDOM; null for SageMaker's default
  })

  validation {
    condition     = var.endpoint.accelerators >= 0 && floor(var.endpoint.accelerators) == var.endpoint.accelerators
    error_message = "endpoint.accelerators is a whole number, 0 or more."
  }

  validation {
    condition     = var.endpoint.download_timeout_s >= 60 && var.endpoint.download_timeout_s <= 3600
    error_message = "endpoint.download_timeout_s: SageMaker allows 60 to 3600 seconds."
  }

  validation {
    condition     = var.endpoint.health_check_timeout_s >= 60 && var.endpoint.health_check_timeout_s <= 3600
    error_message = "endpoint.health_check_timeout_s: SageMaker allows 60 to 3600 seconds."
  }

  validation {
    condition = (
      var.endpoint.inference_ami_version == null ||
      can(regex("^al2(023)?-ami-sagemaker-inference-", var.endpoint.inference_ami_version))
    )
    error_message = "endpoint.inference_ami_version reads, for example, al2-ami-sagemaker-inference-gpu-3-1."
  }

  validation {
    condition     = var.endpoint.instance_count >= 1 && floor(var.endpoint.instance_count) == var.endpoint.instance_count
    error_message = "endpoint.instance_count is a whole number, 1 or more."
  }

  validation {
    condition     = can(regex("^ml\\.[a-z0-9-]+\\.[a-z0-9]+$", var.endpoint.instance_type))
    error_message = "endpoint.instance_type reads ml.family.size, for example ml.g5.2xlarge."
  }

  validation {
    condition     = try(contains(["model_based", "inference_component"], var.endpoint.kind), false)
    error_message = "endpoint.kind is model_based or inference_component."
  }

  validation {
    condition     = var.endpoint.kind != "inference_component" || var.endpoint.inference_component_name != null
    error_message = "endpoint.inference_component_name: an endpoint of kind inference_component needs one."
  }

  validation {
    condition     = var.endpoint.min_memory_mib >= 128
    error_message = "endpoint.min_memory_mib: SageMaker wants at least 128 MiB for a copy."
  }

  validation {
    condition = alltrue([
      for name in [var.endpoint.name, var.endpoint.inference_component_name] :
      can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", name)) if name != null
    ])
    error_message = "endpoint.name and endpoint.inference_component_name have 1 to 63 letters, digits and hyphens."
  }

  validation {
    condition     = try(contains(["LEAST_OUTSTANDING_REQUESTS", "RANDOM"], var.endpoint.routing_strategy), true)
    error_message = "endpoint.routing_strategy is LEAST_OUTSTANDING_REQUESTS or RANDOM."
  }
}
