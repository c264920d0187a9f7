output "name" {
  description = "Name of the endpoint configuration, once it exists."
  value       = var.name
  depends_on  = [aws_cloudcontrolapi_resource.this]
}
