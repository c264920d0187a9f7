output "arn" {
  description = "ARN of the endpoint."
  value       = aws_sagemaker_endpoint.this.arn
}

output "configuration_name" {
  description = "Name of the endpoint configuration."
  value       = aws_sagemaker_endpoint.this.endpoint_config_name
}

output "inference_component_name" {
  description = "Name of the inference component; null for a model-based endpoint."
  value       = local._has_component ? var.endpoint.inference_component_name : null
  depends_on  = [aws_cloudcontrolapi_resource.component]
}

output "name" {
  description = "Name of the endpoint."
  value       = aws_sagemaker_endpoint.this.name
}
