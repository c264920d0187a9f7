mock_provider "aws" {}

variables {
  execution_role_arn = "arn:aws:iam::123456789012:role/bench"
  model = {
    environment = { OPTION_DTYPE = "bf16" }
    image       = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
    name        = "bench-model"
  }
  tags = { "loadbench:project" = "bench" }
}

run "takes_an_uncompressed_prefix" {
  command = plan

  variables {
    model = merge(var.model, { data_uri = "s3://models/digest/" })
  }

  module {
    source = "./modules/model"
  }

  assert {
    condition = alltrue([
      for source in aws_sagemaker_model.this.primary_container[0].model_data_source[0].s3_data_source :
      source.s3_uri == "s3://models/digest/" && source.s3_data_type == "S3Prefix" && source.compression_type == "None"
    ])
    error_message = "The model must be read from the prefix, uncompressed."
  }

  assert {
    condition     = aws_sagemaker_model.this.tags == tomap({ "loadbench:project" = "bench" })
    error_message = "The model must carry the tags."
  }
}

run "names_the_job_that_wrote_its_shards" {
  command = plan

  variables {
    model = merge(var.model, { data_uri = "s3://models/optimized/", optimization_job_name = "job" })
  }

  module {
    source = "./modules/model"
  }

  assert {
    condition = aws_sagemaker_model.this.tags == tomap({
      "loadbench:project" = "bench", OptimizationJobName = "job", "sagemaker-sdk:optimization-job-name" = "job"
    })
    error_message = "The job's name is a tag under both names, beside the given ones."
  }
}

run "puts_the_token_under_both_names" {
  command = plan

  variables {
    hugging_face_token = "hf_planted"
    model              = merge(var.model, { use_hugging_face_token = true })
  }

  module {
    source = "./modules/model"
  }

  assert {
    condition = nonsensitive(aws_sagemaker_model.this.primary_container[0].environment) == tomap({
      OPTION_DTYPE = "bf16", HF_TOKEN = "hf_planted", HUGGING_FACE_HUB_TOKEN = "hf_planted"
    })
    error_message = "The token must reach the container under both names."
  }

  assert {
    condition     = issensitive(aws_sagemaker_model.this.primary_container[0].environment["HF_TOKEN"])
    error_message = "The token must be hidden."
  }
}

run "lets_the_container_pull_and_leaves_an_unwanted_token_out" {
  command = plan

  variables {
    hugging_face_token = "hf_planted"
  }

  module {
    source = "./modules/model"
  }

  assert {
    condition     = aws_sagemaker_model.this.primary_container[0].environment == tomap({ OPTION_DTYPE = "bf16" })
    error_message = "The environment must be the given one: a token that is not asked for stays out."
  }
}

run "refuses_a_wanted_token_that_is_missing" {
  command = plan

  variables {
    model = merge(var.model, { use_hugging_face_token = true })
  }

  module {
    source = "./modules/model"
  }

  expect_failures = [aws_sagemaker_model.this]
}
