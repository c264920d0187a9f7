# The role that the endpoint's containers and the platform act as. Least privilege: what is named below, nothing else.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  _account   = data.aws_caller_identity.current.account_id
  _partition = data.aws_partition.current.partition
  _region    = data.aws_region.current.name

  # "s3://bucket/prefix/" becomes {bucket, prefix without slashes at its end}.
  _readable = [for uri in var.role.readable_s3_uris : regex("^s3://(?P<bucket>[^/]+)/?(?P<prefix>.*?)/*$", uri)]

  # An image of a private registry reads account.dkr.ecr.region.domain/repository:tag; others need no permission.
  _image = try(regex("^(?P<account>[0-9]{12})\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.[a-z0-9.-]+/(?P<repository>[^:@]+)", var.image), null)

  _log_groups = concat(
    ["/aws/sagemaker/Endpoints/${var.endpoint_name}"],
    var.inference_component_name == null ? [] : ["/aws/sagemaker/InferenceComponents/${var.inference_component_name}"],
  )

  _read_statements = concat(
    [
      for source in local._readable : {
        Sid      = "ReadModel${index(local._readable, source)}"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["arn:${local._partition}:s3:::${join("/", compact([source.bucket, source.prefix, "*"]))}"]
      }
    ],
    [
      for source in local._readable : {
        Sid       = "ListModel${index(local._readable, source)}"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = ["arn:${local._partition}:s3:::${source.bucket}"]
        Condition = { StringLike = { "s3:prefix" = source.prefix == "" ? ["*"] : [source.prefix, "${source.prefix}/*"] } }
      }
    ],
  )

  _image_statements = local._image == null ? [] : [
    {
      Sid    = "PullImage"
      Effect = "Allow"
      Action = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = [
        "arn:${local._partition}:ecr:${local._image.region}:${local._image.account}:repository/${local._image.repository}"
      ]
    },
    {
      # "*" because this action takes no resource (service authorization reference for Amazon ECR).
      Sid      = "RegistryLogin"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"]
    },
  ]

  _observe_statements = [
    {
      Sid    = "WriteContainerLog"
      Effect = "Allow"
      Action = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = flatten([
        for group in local._log_groups : [
          "arn:${local._partition}:logs:${local._region}:${local._account}:log-group:${group}",
          "arn:${local._partition}:logs:${local._region}:${local._account}:log-group:${group}:log-stream:*",
        ]
      ])
    },
    {
      # "*" because this action takes no resource; the condition names the namespaces instead
      # (service authorization reference for Amazon CloudWatch).
      Sid       = "WriteMetrics"
      Effect    = "Allow"
      Action    = ["cloudwatch:PutMetricData"]
      Resource  = ["*"]
      Condition = { StringLike = { "cloudwatch:namespace" = ["/aws/sagemaker/*", "AWS/SageMaker"] } }
    },
  ]
}

resource "aws_iam_role" "this" {
  name        = var.role.name
  description = "Runs the benchmark endpoint ${var.endpoint_name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "sagemaker.amazonaws.com" }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "this" {
  name = "benchmark-endpoint"
  role = aws_iam_role.this.name

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local._read_statements, local._image_statements, local._observe_statements)
  })
}
