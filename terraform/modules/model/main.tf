locals {
  # Images read either name (docs/facts/sagemaker.md#how-lmi-gets-its-model).
  _token = var.model.use_hugging_face_token ? {
    HF_TOKEN               = var.hugging_face_token
    HUGGING_FACE_HUB_TOKEN = var.hugging_face_token
  } : {}
}

resource "aws_sagemaker_model" "this" {
  #checkov:skip=CKV_AWS_370:the fast loader streams from S3 by itself, and a container may pull from the hub: both need a network
  name               = var.model.name
  execution_role_arn = var.execution_role_arn

  primary_container {
    image       = var.model.image
    environment = merge(var.model.environment, local._token)

    # Without model data the container pulls its weights itself.
    dynamic "model_data_source" {
      for_each = var.model.data_uri == null ? [] : [var.model.data_uri]

      content {
        s3_data_source {
          s3_uri           = model_data_source.value
          s3_data_type     = "S3Prefix"
          compression_type = "None"
        }
      }
    }
  }

  # The job that made its shards, under both names that are known: the console shows one, the SageMaker SDK writes the
  # other (docs/facts/aws-evidence.md#job-tag).
  tags = merge(
    var.tags,
    var.model.optimization_job_name == null ? {} : {
      OptimizationJobName                   = var.model.optimization_job_name
      "sagemaker-sdk:optimization-job-name" = var.model.optimization_job_name
    },
  )

  lifecycle {
    precondition {
      condition     = !var.model.use_hugging_face_token || try(length(var.hugging_face_token) > 0, false)
      error_message = "use_hf_token is set but there is no token: put HUGGING_FACE_HUB_TOKEN into .env or the environment."
    }
  }
}
