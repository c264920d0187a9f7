output "name" {
  description = "Name of the endpoint configuration, once it exists."
  value       = var.name
  depends_on  = [aws_sagemaker_endpoint_configuration.this]
}
