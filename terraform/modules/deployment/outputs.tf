output "endpoint_arn" {
  description = "ARN of the endpoint."
  value       = module.endpoint.arn
}

output "endpoint_configuration_name" {
  description = "Name of the endpoint configuration."
  value       = module.endpoint.configuration_name
}

output "endpoint_name" {
  description = "Name of the endpoint, in service."
  value       = module.endpoint.name
}

output "inference_component_name" {
  description = "Name of the inference component; null for a model-based endpoint."
  value       = module.endpoint.inference_component_name
}

output "model_name" {
  description = "Name of the model."
  value       = module.model.name
}

output "role_arn" {
  description = "Role that the endpoint acts as, made here or given."
  value       = local._role_arn
}
