# The day's clock, in India's time. What a schedule could not do after its retries lands in a queue that alarms.
locals {
  weekdays = "? * MON-FRI *"
  schedules = {
    start = {
      on     = !var.always_on
      at     = "cron(15 8 ${local.weekdays})"
      target = "arn:aws:scheduler:::aws-sdk:ec2:startInstances"
      input  = { InstanceIds = [aws_instance.bot.id] }
    }
    stop = {
      on     = !var.always_on
      at     = "cron(15 16 ${local.weekdays})"
      target = "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"
      input  = { InstanceIds = [aws_instance.bot.id] }
    }
    token = {
      on     = true
      at     = "cron(0 8 ${local.weekdays})"
      target = aws_lambda_function.token["request"].arn
      input  = {}
    }
    # An alarm tells of changes only: one that stands in ALARM since the night would stay silent when its
    # actions are switched on. So it is put to OK a minute later, and falls again by itself.
    watch = {
      on     = true
      at     = "cron(5 9 ${local.weekdays})"
      target = "arn:aws:scheduler:::aws-sdk:cloudwatch:enableAlarmActions"
      input  = { AlarmNames = [aws_cloudwatch_metric_alarm.heartbeat.alarm_name] }
    }
    watch_reset = {
      on     = true
      at     = "cron(6 9 ${local.weekdays})"
      target = "arn:aws:scheduler:::aws-sdk:cloudwatch:setAlarmState"
      input = {
        AlarmName   = aws_cloudwatch_metric_alarm.heartbeat.alarm_name
        StateValue  = "OK"
        StateReason = "session begins"
      }
    }
    unwatch = {
      on     = true
      at     = "cron(45 15 ${local.weekdays})"
      target = "arn:aws:scheduler:::aws-sdk:cloudwatch:disableAlarmActions"
      input  = { AlarmNames = [aws_cloudwatch_metric_alarm.heartbeat.alarm_name] }
    }
    stops_matter = {
      on     = true
      at     = "cron(5 9 ${local.weekdays})"
      target = "arn:aws:scheduler:::aws-sdk:eventbridge:enableRule"
      input  = { Name = aws_cloudwatch_event_rule.stopped_in_session.name }
    }
    stops_expected = {
      on     = true
      at     = "cron(45 15 ${local.weekdays})"
      target = "arn:aws:scheduler:::aws-sdk:eventbridge:disableRule"
      input  = { Name = aws_cloudwatch_event_rule.stopped_in_session.name }
    }
  }
}

resource "aws_scheduler_schedule_group" "bot" {
  name = var.name
}

resource "aws_scheduler_schedule" "bot" {
  for_each                     = local.schedules
  name                         = "${var.name}-${replace(each.key, "_", "-")}"
  group_name                   = aws_scheduler_schedule_group.bot.name
  state                        = each.value.on ? "ENABLED" : "DISABLED"
  schedule_expression          = each.value.at
  schedule_expression_timezone = "Asia/Kolkata"
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = each.value.target
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode(each.value.input)
    retry_policy {
      maximum_event_age_in_seconds = 600
      maximum_retry_attempts       = 5
    }
    dead_letter_config {
      arn = aws_sqs_queue.missed.arn
    }
  }
}

resource "aws_sqs_queue" "missed" {
  name                      = "${var.name}-missed-schedules"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
}
