mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-west-2" }
  }
}

variables {
  endpoint_name = "bench"
  image         = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
  role = {
    name             = "bench-role"
    readable_s3_uris = ["s3://models/llama/8b/", "s3://other"]
  }
  tags = { "loadbench:project" = "bench" }
}

run "allows_nothing_but_what_is_named" {
  command = plan

  module {
    source = "./modules/execution_role"
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(output.policy).Statement : statement.Resource if contains(statement.Action, "s3:GetObject")
    ])) == toset(["arn:aws:s3:::models/llama/8b/*", "arn:aws:s3:::other/*"])
    error_message = "Objects may be read under the given prefixes only: ${output.policy}"
  }

  assert {
    condition = [
      for statement in jsondecode(output.policy).Statement : statement.Condition.StringLike["s3:prefix"]
      if contains(statement.Action, "s3:ListBucket") && contains(statement.Resource, "arn:aws:s3:::models")
    ] == [["llama/8b", "llama/8b/*"]]
    error_message = "A bucket may be listed under the given prefix only: ${output.policy}"
  }

  assert {
    condition = [
      for statement in jsondecode(output.policy).Statement : statement.Resource if contains(statement.Action, "ecr:BatchGetImage")
    ] == [["arn:aws:ecr:us-west-2:763104351884:repository/djl-inference"]]
    error_message = "Only the image's own repository may be pulled: ${output.policy}"
  }

  assert {
    condition     = output.arn == "arn:aws:iam::123456789012:role/bench-role"
    error_message = "The plan must show the ARN, it is part of other resources' desired state."
  }
}

run "gives_no_registry_permission_for_a_public_image" {
  command = plan

  variables {
    image = "deepjavalibrary/djl-serving:0.32.0-lmi"
  }

  module {
    source = "./modules/execution_role"
  }

  assert {
    condition     = !strcontains(output.policy, "ecr:")
    error_message = "A public image needs no permission: ${output.policy}"
  }
}

run "names_resources_wherever_the_action_takes_one" {
  command = plan

  variables {
    inference_component_name = "bench-component"
  }

  module {
    source = "./modules/execution_role"
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(output.policy).Statement : statement.Action if contains(statement.Resource, "*")
    ])) == toset(["ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"])
    error_message = "Only the two actions that take no resource may have *: ${output.policy}"
  }

  assert {
    condition = anytrue([
      for statement in jsondecode(output.policy).Statement :
      contains(statement.Resource, "arn:aws:logs:us-west-2:123456789012:log-group:/aws/sagemaker/InferenceComponents/bench-component")
    ])
    error_message = "The component's log group must be writable: ${output.policy}"
  }
}
