# An endpoint configuration without a model, which an endpoint of inference components needs. Version 5 of the provider
# insists on a model name, so it goes through Cloud Control, which the same provider speaks. With a provider that can do
# without, loadbench puts variants/provider-6.21 in the place of this file and of versions.tf.
#
# Inferred, not yet seen on AWS: Cloud Control accepts it (docs/facts/aws-evidence.md#endpoint-config-by-cloud-control).

resource "aws_cloudcontrolapi_resource" "this" {
  type_name = "AWS::SageMaker::EndpointConfig"

  desired_state = jsonencode({
    EndpointConfigName = var.name
    ExecutionRoleArn   = var.execution_role_arn
    ProductionVariants = [merge(
      {
        VariantName          = var.variant_name
        InstanceType         = var.instance_type
        InitialInstanceCount = var.instance_count
      },
      var.inference_ami_version == null ? {} : { InferenceAmiVersion = var.inference_ami_version },
      var.routing_strategy == null ? {} : { RoutingConfig = { RoutingStrategy = var.routing_strategy } },
    )]
    Tags = [for key, value in var.tags : { Key = key, Value = value }]
  })

  lifecycle {
    # Names the model to wait for it. The provider repeats CreateModel until SageMaker can assume a role that was made
    # seconds ago; it does not repeat a call of Cloud Control.
    precondition {
      condition     = length(var.model_name) > 0
      error_message = "An endpoint needs the name of a model."
    }
  }
}
