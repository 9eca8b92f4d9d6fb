# Four values have no default; put them into terraform.tfvars (see terraform.tfvars.example). None is a secret:
# secrets are typed into Secrets Manager by ../deploy and never pass through Terraform or its state.

variable "alert_email" {
  description = "Gets every alarm of the cloud's own ring. AWS sends one mail to confirm it."
  type        = string
  validation {
    condition     = can(regex("^[^@[:space:]]+@[^@[:space:]]+$", var.alert_email))
    error_message = "alert_email must be a mail address."
  }
}

variable "upstox_client_id" {
  description = "The API key of your Upstox app (the webhook accepts tokens of this app only)."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9-]{8,64}$", var.upstox_client_id))
    error_message = "upstox_client_id must be the API key shown in Upstox's developer console."
  }
}

variable "upstox_user_id" {
  description = "Your Upstox user id (UCC); the webhook accepts tokens of this user only."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9]{4,16}$", var.upstox_user_id))
    error_message = "upstox_user_id must be the UCC shown in your Upstox profile."
  }
}

variable "webhook_path_sha256" {
  description = "SHA-256 (hex) of the secret path of the token webhook; ../deploy makes both and shows the path once."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.webhook_path_sha256))
    error_message = "webhook_path_sha256 must be 64 hex digits; run ../deploy --new-webhook to make a path."
  }
}

# ---- what has a default ----

variable "region" {
  description = "Mumbai: next to the exchange and the broker."
  type        = string
  default     = "ap-south-1"
}

variable "name" {
  description = "The prefix of every name."
  type        = string
  default     = "options-bot"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,23}$", var.name))
    error_message = "name must be 3 to 24 of a-z, 0-9, -."
  }
}

variable "instance_type" {
  description = "4 GiB hold the bot, Prometheus, Alertmanager and Grafana. A Graviton type (t4g.medium) needs an arm64 image."
  type        = string
  default     = "t3a.medium"
}

variable "ami_id" {
  description = "Empty: Ubuntu 24.04 as Canonical publishes it on the day of the first apply."
  type        = string
  default     = ""
}

variable "always_on" {
  description = "true: the machine is never stopped by schedule (costs more; see the outputs)."
  type        = bool
  default     = false
}
