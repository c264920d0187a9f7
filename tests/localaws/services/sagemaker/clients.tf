terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
variable "bucket" {
  type = string
}

variable "copies" {
  type    = number
  default = 1
}

variable "generation" {
  type    = string
  default = "a"
}

variable "image" {
  type = string
}

variable "instance_type" {
  type = string
}

variable "name" {
  type = string
}

variable "role" {
  type = string
}

variable "tag" {
  type    = string
  default = "first"
}

resource "aws_sagemaker_model" "model" {
  name               = "${var.name}-model"
  execution_role_arn = var.role
  primary_container {
    image       = var.image
    environment = { OPTION_DTYPE = "fp16" }
    model_data_source {
      s3_data_source {
        s3_uri           = "s3://${var.bucket}/standard/"
        s3_data_type     = "S3Prefix"
        compression_type = "None"
      }
    }
  }
  tags = { project = var.tag }
}
resource "aws_sagemaker_endpoint_configuration" "model" {
  name = "${var.name}-${var.generation}"
  production_variants {
    variant_name                                      = "AllTraffic"
    model_name                                        = aws_sagemaker_model.model.name
    initial_instance_count                            = 1
    instance_type                                     = var.instance_type
    container_startup_health_check_timeout_in_seconds = 600
  }
  tags = { project = var.tag }
  lifecycle { create_before_destroy = true }
}
resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "an update rolls back on errors"
  namespace           = "AWS/SageMaker"
  metric_name         = "Invocation5XXErrors"
  dimensions          = { EndpointName = "${var.name}-model", VariantName = "AllTraffic" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 10
  treat_missing_data  = "notBreaching"
  tags                = { project = var.tag }
}
resource "aws_sagemaker_endpoint" "model" {
  name                 = "${var.name}-model"
  endpoint_config_name = aws_sagemaker_endpoint_configuration.model.name
  deployment_config {
    blue_green_update_policy {
      traffic_routing_configuration {
        type                     = "ALL_AT_ONCE"
        wait_interval_in_seconds = 0
      }
      termination_wait_in_seconds = 0
    }
    auto_rollback_configuration {
      alarms { alarm_name = aws_cloudwatch_metric_alarm.errors.alarm_name }
    }
  }
  tags = { project = var.tag }
}
resource "aws_sagemaker_model" "shared" {
  name               = "${var.name}-shared"
  execution_role_arn = var.role
  primary_container {
    image       = var.image
    environment = { OPTION_DTYPE = "fp16" }
    model_data_source {
      s3_data_source {
        s3_uri           = "s3://${var.bucket}/standard/"
        s3_data_type     = "S3Prefix"
        compression_type = "None"
      }
    }
  }
}
resource "aws_cloudcontrolapi_resource" "config" {
  type_name = "AWS::SageMaker::EndpointConfig"
  desired_state = jsonencode({
    EndpointConfigName = "${var.name}-shared"
    ExecutionRoleArn   = var.role
    ProductionVariants = [{ VariantName = "AllTraffic", InstanceType = var.instance_type, InitialInstanceCount = 2 }]
    Tags               = [{ Key = "project", Value = var.tag }]
  })
}
resource "aws_sagemaker_endpoint" "shared" {
  name                 = "${var.name}-shared"
  endpoint_config_name = "${var.name}-shared"
  depends_on           = [aws_cloudcontrolapi_resource.config]
}
resource "aws_cloudcontrolapi_resource" "component" {
  type_name = "AWS::SageMaker::InferenceComponent"
  desired_state = jsonencode({
    InferenceComponentName = "${var.name}-component"
    EndpointName           = "${var.name}-shared"
    VariantName            = "AllTraffic"
    Specification = {
      ModelName                   = "${var.name}-shared"
      ComputeResourceRequirements = { NumberOfAcceleratorDevicesRequired = 1, MinMemoryRequiredInMb = 1024 }
      StartupParameters           = { ContainerStartupHealthCheckTimeoutInSeconds = 600, ModelDataDownloadTimeoutInSeconds = 600 }
    }
    RuntimeConfig = { CopyCount = var.copies }
    Tags          = [{ Key = "project", Value = var.tag }]
  })
  depends_on = [aws_sagemaker_endpoint.shared, aws_sagemaker_model.shared]
}
