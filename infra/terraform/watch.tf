# The ring outside the machine: a mail when it dies, is stopped in session, or a schedule fails.
resource "aws_sns_topic" "alerts" {
  name = "${var.name}-alerts"
}

resource "aws_sns_topic_subscription" "mail" {
  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = var.alert_email
}

data "aws_iam_policy_document" "alerts" {
  statement {
    sid       = "AwsServicesOfThisAccount"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com", "cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = data.aws_iam_policy_document.alerts.json
}

resource "aws_cloudwatch_log_group" "bot" {
  name              = "/${var.name}/bot"
  retention_in_days = 365
}

# Published each minute by the machine (../host/heartbeat.sh) while the engine's own heartbeat is fresh.
resource "aws_cloudwatch_metric_alarm" "heartbeat" {
  alarm_name          = "${var.name}-heartbeat"
  alarm_description   = "The bot was not heard for 3 minutes in session. If it holds a position, close it in the Upstox app. docs/deploy.md, Lost instance."
  namespace           = "OptionsBot"
  metric_name         = "Heartbeat"
  dimensions          = { Name = var.name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  actions_enabled     = false # switched on 09:05 and off 15:45 by schedule
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
  lifecycle {
    ignore_changes = [actions_enabled]
  }
}

resource "aws_cloudwatch_metric_alarm" "missed_schedule" {
  alarm_name          = "${var.name}-missed-schedule"
  alarm_description   = "A schedule failed after all its tries; the queue's message says which. Do its work by hand: docs/deploy.md, Drills."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.missed.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_metric_alarm" "token_request" {
  alarm_name          = "${var.name}-token-request"
  alarm_description   = "Upstox was not asked for today's token. Plan B: docs/deploy.md, Token failure drill."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.token["request"].function_name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
}

# The bot says so at 08:50, and at any time when the broker does not take its token.
resource "aws_cloudwatch_log_metric_filter" "token_missing" {
  name           = "${var.name}-token-missing"
  log_group_name = aws_cloudwatch_log_group.bot.name
  pattern        = "{ ($.event = \"alert\") && (($.name = \"AuthRequired\") || ($.name = \"NoToken\")) }"
  metric_transformation {
    name      = "TokenMissing"
    namespace = "OptionsBot"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "token_missing" {
  alarm_name          = "${var.name}-token-missing"
  alarm_description   = "08:50 and no working token. Approve the request on your phone, or run plan B: docs/deploy.md, Token failure drill."
  namespace           = "OptionsBot"
  metric_name         = "TokenMissing"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_event_rule" "terminated" {
  name        = "${var.name}-terminated"
  description = "The machine is being destroyed"
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Instance State-change Notification"]
    detail      = { instance-id = [aws_instance.bot.id], state = ["shutting-down", "terminated"] }
  })
}

resource "aws_cloudwatch_event_rule" "stopped_in_session" {
  name        = "${var.name}-stopped-in-session"
  description = "The machine stops while the market is open; enabled 09:05 to 15:45 by schedule"
  state       = "DISABLED"
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Instance State-change Notification"]
    detail      = { instance-id = [aws_instance.bot.id], state = ["stopping", "stopped"] }
  })
  lifecycle {
    ignore_changes = [state]
  }
}

resource "aws_cloudwatch_event_target" "mail" {
  for_each = {
    terminated = aws_cloudwatch_event_rule.terminated.name
    stopped    = aws_cloudwatch_event_rule.stopped_in_session.name
  }
  rule = each.value
  arn  = aws_sns_topic.alerts.arn
  input_transformer {
    input_paths    = { state = "$.detail.state", at = "$.time" }
    input_template = "\"The trading machine is <state> (<at>). If the bot holds a position, close it in the Upstox app. docs/deploy.md, Lost instance.\""
  }
}
