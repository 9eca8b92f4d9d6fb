# Nothing here is secret; the webhook's address lacks its path.
locals {
  # US dollars, list prices of ap-south-1 when this was written; check them in the AWS calculator.
  usd = {
    hour           = { "t3a.medium" = 0.0246, "t3.medium" = 0.0448, "t4g.medium" = 0.0224 }
    address_hour   = 0.005
    disk_gb_month  = 0.0912
    secret_month   = 0.40
    alarm_month    = 0.10
    requests_month = 0.80 # logs, Lambda, S3, ECR, metrics: small and rounded up
  }
  hours_on     = var.always_on ? 730 : 8 * 22
  machine_hour = lookup(local.usd.hour, var.instance_type, null)
  fixed_usd = (
    730 * local.usd.address_hour
    + 20 * local.usd.disk_gb_month
    + length(aws_secretsmanager_secret.bot) * local.usd.secret_month
    + 4 * local.usd.alarm_month
    + local.usd.requests_month
  )
}

output "register_this_ip" {
  description = "The address to register at Upstox as primary static IP (it can be changed once a week)."
  value       = aws_eip.bot.public_ip
}

output "estimated_monthly_cost_usd" {
  description = "Without tax and data transfer; 'unknown' for an instance type without a price in outputs.tf."
  value = local.machine_hour == null ? "unknown" : format(
    "%.2f", local.hours_on * local.machine_hour + local.fixed_usd
  )
}

output "webhook_url" {
  description = "Register at Upstox as notifier URL, with the secret path that deploy showed once."
  value       = aws_lambda_function_url.webhook.function_url
}

output "region" {
  value = var.region
}

output "name" {
  value = var.name
}

output "instance_id" {
  value = aws_instance.bot.id
}

output "bucket" {
  value = aws_s3_bucket.archive.bucket
}

output "registry" {
  value = aws_ecr_repository.bot.repository_url
}

output "platform" {
  value = local.arm ? "linux/arm64" : "linux/amd64"
}

output "secrets" {
  description = "Names, not values."
  value       = { for key, secret in aws_secretsmanager_secret.bot : key => secret.name }
}

output "host_settings" {
  description = "The environment of the containers on the machine; holds no secret."
  value = {
    BOT_IMAGE_REPOSITORY      = aws_ecr_repository.bot.repository_url
    BOT_ARCHIVE__ROOT         = "s3://${aws_s3_bucket.archive.bucket}/archive"
    BOT_BROKER__TOKEN_SOURCE  = "secretsmanager:${aws_secretsmanager_secret.bot["token"].name}"
    BOT_BROKER__TOKEN_REQUEST = "lambda:${aws_lambda_function.token["request"].function_name}"
    ALERTS_SECRET             = aws_secretsmanager_secret.bot["alerts"].name
    ALERT_SNS_TOPIC_ARN       = aws_sns_topic.alerts.arn
    LOG_GROUP                 = aws_cloudwatch_log_group.bot.name
    AWS_DEFAULT_REGION        = var.region
  }
}
