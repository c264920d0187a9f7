output "endpoint_arn" {
  description = "ARN of the endpoint."
  value       = module.deployment.endpoint_arn
}

output "endpoint_configuration_name" {
  description = "Name of the endpoint configuration."
  value       = module.deployment.endpoint_configuration_name
}

output "endpoint_name" {
  description = "Name of the endpoint, in service."
  value       = module.deployment.endpoint_name
}

output "inference_component_name" {
  description = "Name of the inference component; null for a model-based endpoint."
  value       = module.deployment.inference_component_name
}

output "model_name" {
  description = "Name of the model."
  value       = module.deployment.model_name
}

output "role_arn" {
  description = "Role that the endpoint acts as, made here or given."
  value       = module.deployment.role_arn
}
