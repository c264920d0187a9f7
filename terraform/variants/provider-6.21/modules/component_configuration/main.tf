# An endpoint configuration without a model, made by the provider itself: from 6.21 on model_name is optional, and
# execution_role_arn exists (docs/facts/terraform.md#inference-components-in-the-provider). Variables and outputs are those
# of terraform/modules/component_configuration. Read in the provider's documentation, not yet run.

resource "aws_sagemaker_endpoint_configuration" "this" {
  #checkov:skip=CKV_AWS_98:SageMaker refuses a KMS key for instances with local NVMe such as ml.g5; their hardware encrypts it
  name               = var.name
  execution_role_arn = var.execution_role_arn

  production_variants {
    variant_name           = var.variant_name
    instance_type          = var.instance_type
    initial_instance_count = var.instance_count
    inference_ami_version  = var.inference_ami_version

    dynamic "routing_config" {
      for_each = var.routing_strategy[*]

      content {
        routing_strategy = routing_config.value
      }
    }
  }

  tags = var.tags

  lifecycle {
    # Names the model to wait for it: the provider repeats CreateModel until SageMaker can assume a role that was made
    # seconds ago.
    precondition {
      condition     = length(var.model_name) > 0
      error_message = "An endpoint needs the name of a model."
    }
  }
}
