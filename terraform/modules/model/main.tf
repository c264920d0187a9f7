locals {
  # Both names are read in the field: older images know the first, huggingface_hub the second.
  _token = var.use_hugging_face_token ? {
    HF_TOKEN               = var.hugging_face_token
    HUGGING_FACE_HUB_TOKEN = var.hugging_face_token
  } : {}
}

resource "aws_sagemaker_model" "this" {
  #checkov:skip=CKV_AWS_370:the fast loader streams from S3 by itself, and a container may pull from the hub: both need a network
  name               = var.name
  execution_role_arn = var.execution_role_arn

  primary_container {
    image       = var.image
    environment = merge(var.environment, local._token)

    # Without model data the container pulls its weights itself.
    dynamic "model_data_source" {
      for_each = var.model_data_uri == null ? [] : [var.model_data_uri]

      content {
        s3_data_source {
          s3_uri           = model_data_source.value
          s3_data_type     = "S3Prefix"
          compression_type = "None"
        }
      }
    }
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = !var.use_hugging_face_token || try(length(var.hugging_face_token) > 0, false)
      error_message = "use_hf_token is set but there is no token: put HUGGING_FACE_HUB_TOKEN into .env or the environment."
    }
  }
}
