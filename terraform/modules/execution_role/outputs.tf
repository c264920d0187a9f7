output "arn" {
  description = "ARN of the role, usable once its policy is attached."
  # Put together from its parts, so that it is known when planning and the plan shows the whole desired state.
  value      = "arn:${local._partition}:iam::${local._account}:role/${var.role.name}"
  depends_on = [aws_iam_role.this, aws_iam_role_policy.this]
}

output "policy" {
  description = "The role's policy document."
  value       = aws_iam_role_policy.this.policy
}
