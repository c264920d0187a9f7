output "name" {
  description = "Name of the model, once it exists."
  value       = aws_sagemaker_model.this.name
}
